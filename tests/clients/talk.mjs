// How a flow and its test talk: one JSON object a line. The test is the person and the browser.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function hear() {
  const { value, done } = await lines.next();
  if (done) throw new Error("the test has gone");
  return JSON.parse(value);
}

export function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

export async function refusal(action) {
  // What a server said no with: the `error` of OAuth's own form, or of a challenge.
  try {
    await action();
  } catch (error) {
    return error.error ?? error.cause?.[0]?.parameters?.error ?? error.code ?? String(error);
  }
  return null;
}

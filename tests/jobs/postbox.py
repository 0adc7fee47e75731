"""A mail server that does what a test tells it to: takes mail, refuses it, hangs up, or speaks TLS."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass
class Postbox:
    """Where it listens, what it took, and how it answers RCPT and DATA."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    rcpt: str = "250 ok"
    data: str = "250 ok"
    is_away: bool = False
    was_secured: list[bool] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@contextmanager
def serving_postbox(tls: ssl.SSLContext | None = None) -> Iterator[Postbox]:
    """A server that listens in a thread of its own until the end."""
    box, loop, ready = Postbox(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> asyncio.Server:
        server = await asyncio.start_server(lambda r, w: _converse(box, tls, r, w), "127.0.0.1", 0)
        box.port = server.sockets[0].getsockname()[1]
        ready.set()
        return server

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(serve())
        loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(120)
    yield box
    loop.call_soon_threadsafe(loop.stop)
    thread.join(120)


async def _converse(  # noqa: C901 - one case for each command
    box: Postbox, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """RFC 5321, as much of it as a client of ours speaks."""
    try:
        if box.is_away:
            return
        is_secured = False
        writer.write(b"220 postbox.example ready\r\n")
        while line := (await reader.readline()).decode().strip():
            match line.split()[0].upper():
                case "EHLO":
                    offers = ["postbox.example", "AUTH PLAIN"]
                    offers += ["STARTTLS"] if tls is not None and not is_secured else []
                    told = [f"250{'-' if offer != offers[-1] else ' '}{offer}" for offer in offers]
                    writer.write("".join(f"{offer}\r\n" for offer in told).encode())
                case "STARTTLS":
                    writer.write(b"220 go ahead\r\n")
                    await writer.drain()
                    await writer.start_tls(tls)  # type: ignore[arg-type] # offered only with one
                    is_secured = True
                case "AUTH":
                    box.logins.append(line)
                    writer.write(b"235 welcome\r\n")
                case "RCPT":
                    writer.write(f"{box.rcpt}\r\n".encode())
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    if box.data.startswith("250"):
                        box.was_secured.append(is_secured)
                        box.mails.append(message_from_bytes(raw[:-5], policy=default))
                    writer.write(f"{box.data}\r\n".encode())
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                case _:
                    writer.write(b"250 ok\r\n")
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    finally:
        writer.close()

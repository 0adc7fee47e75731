"""The demo: a whole installation with invented people, made from nothing, and the main job run on it."""

"""Doing once what is asked for twice: idempotency keys, with Redis in front and PostgreSQL as the truth.

http       a request's key and principal, and its answer
services   `run_once`: the work and the record of it commit together, or not at all
front      Redis: a flag while the work is under way, then the finished answer for a day
tasks      forgetting, after thirty days
"""

"""The saga engine: durable, orchestrated sagas over PostgreSQL and Celery. It knows no domain.

Read in this order: `definition` (what a saga is made of), `outcomes` (what a handler may answer), `ticket` (what it is
given), `stepping` (how a group of sagas moves through one transaction), `course` (what becomes of each of them there),
`runner` (how a worker drives that), `doorbell` (how a worker learns that there is something to do).
"""

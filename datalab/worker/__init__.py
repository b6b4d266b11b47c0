"""A Prefect worker whose runs start in processes forked from a parent that has already imported everything.

Three processes take part. The *worker* (`warm_process`) talks to Prefect. A *zygote* (`zygote`) is started by it for
each directory of flows; it imports Prefect and the flows and then only forks and waits. A *run* (`child`) is a fork of
the zygote, in a session of its own, and does what `python -m prefect.engine` does.

Why forking is safe here. What a fork breaks is what other threads held at that moment, and what two processes then
share: locks, event loops, connections, pools, gRPC channels. The zygote has none of these: it imports modules and never
opens a client, runs no event loop and starts no thread. It verifies that after each import (`zygote.safety`) and gives
up rather than fork from an unsafe state; the worker then starts another without the module that was to blame. The
worker itself, which has an event loop, threads and connections, never forks. The only foreign threads are those of
native libraries (OpenBLAS, jemalloc), which handle forks themselves. Random numbers are seeded anew in each run.

A run that is not an ordinary one (an environment of its own, pull steps other than `set_working_directory`, a system
where forking a loaded process is not safe) is started by fork and exec of a new interpreter: slower, otherwise alike.
"""

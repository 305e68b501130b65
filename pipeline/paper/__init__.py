"""The pack that goes into a paper, from one finished run: tables, figures, CSV, methods, sources, checklist, hashes.

    run = found(source, settings, runs)         the finished run and its report
    members = pack(run)                         every file of the pack by name
    write(members, folder)                      the whole folder, or nothing

What it holds and how to use it: docs/paper.md. Nothing is computed anew; every number is the report's, every choice
the recipe's, every hash the run's own.
"""

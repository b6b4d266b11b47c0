"""The faults of the lake, and by which tests each is made: real Spark, Kafka, Prefect, and an S3 server."""

from __future__ import annotations

_FLOWS = "tests/integration/flows/"
_KILLS = f"{_FLOWS}killed_at_each_commit.py::"
_REPEATS = f"{_FLOWS}test_medallion_repeats.py::"
_BAD_LUCK = f"{_FLOWS}test_medallion_bad_luck.py::"
_ODD_FILES = f"{_FLOWS}test_medallion_odd_files.py::test_every_odd_file_ends_in_a_named_state"

# Fault → what pytest is asked for: files, or tests of them.
FAULTS: dict[str, tuple[str, ...]] = {
    "kill -9 of the run after each commit": (
        f"{_KILLS}test_a_run_that_is_killed_after_a_commit_and_retried_leaves_what_one_run_leaves",
    ),
    "kill -9 of Spark after each commit": (
        f"{_KILLS}test_spark_that_is_killed_after_a_commit_costs_the_run_time_and_nothing_else",
        f"{_REPEATS}test_a_spark_server_that_is_killed_in_the_middle_costs_time_and_nothing_else",
    ),
    "a run ends after each commit, or its answer is lost": (
        f"{_REPEATS}test_a_run_that_ends_after_any_commit_and_runs_again_leaves_what_one_run_leaves",
        f"{_REPEATS}test_an_answer_that_is_lost_after_each_commit_is_retried_within_the_run",
    ),
    "a run is killed while Spark works for it": (f"{_FLOWS}test_spark_sessions.py",),
    "two runs of one dataset at once": (
        f"{_REPEATS}test_runs_of_one_dataset_at_once_take_turns_and_load_each_file_once",
    ),
    "OPTIMIZE during a MERGE": (f"{_BAD_LUCK}test_files_are_merged_by_others_again_and_again_while_runs_merge_rows",),
    "a full disk": (f"{_BAD_LUCK}test_a_disk_that_takes_no_more_fails_the_run_and_the_next_one_goes_on",),
    "Kafka or Spark is away": (
        f"{_BAD_LUCK}test_without_kafka_the_run_fails_in_plain_words_and_the_next_one_goes_on",
        f"{_BAD_LUCK}test_without_spark_the_run_fails_in_plain_words",
    ),
    # One run over a directory of all of them.
    "damaged, cut or no Parquet": (_ODD_FILES,),
    "wrong delimiter, BOM, CRLF, mixed encodings, quoted line breaks": (_ODD_FILES,),
    "a missing or extra column, 0 rows, 1 row, all rows bad, a decimal comma": (_ODD_FILES,),
    "a replay of the quarantine ends at each step": (f"{_FLOWS}test_quarantine_replay.py",),
    "the lake in an S3 store: a run ends after its MERGE": (f"{_FLOWS}test_lake_in_s3.py",),
    "a restore into an S3 store is killed at each step": (f"{_FLOWS}test_restore_into_store.py",),
    "a backup is damaged, or its disk is full": (
        "tests/unit/flows/test_maintenance_backup.py",
        "tests/unit/cli/test_backup.py",
    ),
    "others need what maintenance would delete": ("tests/unit/flows/test_maintenance_safety.py",),
}

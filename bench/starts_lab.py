"""A lab for `bench.starts`: the parts between an event and Gold, its own rules, and a stock worker beside the warm one.

Files and events whose names start with `warm` go to the lab's own worker; those with `stock` to Prefect's process
worker, in whose environment each run has a Spark session of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from datalab.local.addresses import LabAddresses, lab_addresses
from datalab.local.jars import JarCache
from datalab.runtime.settings import PROJECT_ROOT

_PARTS = "ingest,bridge,spark,deployments,etl-worker"
_STOCK_POOL = "stock-pool"
_STEP = "prefect.deployments.steps.set_working_directory"


@dataclass(frozen=True)
class BenchLab:
    """A running lab. `note` is where the probes tell that they run."""

    addresses: LabAddresses
    note: Path
    warm_worker: int

    def parents(self) -> list[psutil.Process]:
        """The warm parents of the lab's worker, the largest first."""
        found = [p for p in psutil.Process(self.warm_worker).children() if "datalab.worker.zygote" in p.cmdline()]
        return sorted(found, key=lambda process: process.memory_info().rss, reverse=True)

    def told(self) -> dict[str, list[float]]:
        """When each probe ran, by key; more than one time for a key would be a run too many."""
        times: dict[str, list[float]] = {}
        for line in self.note.read_text().splitlines() if self.note.exists() else ():
            key, _, at = line.partition(" ")
            times.setdefault(key, []).append(float(at))
        return times


@contextmanager
def bench_lab(home: Path) -> Iterator[BenchLab]:
    """Start it in an empty directory; stopped at the end."""
    config, note = home / "config", home / "note.txt"
    shutil.copytree(PROJECT_ROOT / "config", config)
    _write_rules(config / "rules", note)
    environment = {**os.environ, "DATALAB_HOME": str(home / "lab"), "DATALAB_CONFIG_DIR": str(config)}
    environment.pop("DATALAB_WORKER_TYPE", None)
    try:
        up = subprocess.Popen(
            [sys.executable, "-m", "datalab.cli.main", "up", "--detach", "--parts", _PARTS],
            env=environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        # The bridge is ready only once the deployments of its rules are there.
        until(lambda: "pid" in _part(environment, "prefect", "ready"), 120, "Prefect", every_s=1)
        addresses = lab_addresses(environment)
        _register(addresses)
        if up.wait():
            sys.exit("the lab did not come up")
        worker = _part(environment, "etl-worker", "ready")["pid"]
        with _stock_worker(worker, home / "stock-worker.log"):
            yield BenchLab(addresses, note, worker)
    finally:
        _datalab(environment, "down")


def until(probe: Callable[[], Any], within_s: float, what: str, every_s: float = 0.02) -> Any:
    """The first true answer; ends the benchmark when the time is over."""
    deadline = time.monotonic() + within_s
    while not (answer := probe()):
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)  # looking again, with a deadline
    return answer


def _write_rules(folder: Path, note: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    for kind, etl in (("warm", "medallion-etl-daily"), ("stock", "stock")):
        named = f"event.data.name.startsWith('{kind}')"
        rules = {
            f"{kind}-file": (f"event.data.dataset == 'stocks' && {named}", f"medallion-etl/{etl}",
                             {"source_path": "{{ event.data.uri }}"}),
            f"{kind}-probe": (f"event.data.dataset == 'probe' && {named}", f"start-probe/{kind}",
                              {"key": "{{ event.data.name }}", "note": str(note)}),
        }  # fmt: skip
        for name, (where, deployment, parameters) in rules.items():
            rule = {"name": name, "description": name, "on": ["lab.file.arrived.v1"], "where": where,
                    "run": {"deployment": deployment, "parameters": parameters}}  # fmt: skip
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(rule), "utf-8")


def _register(addresses: LabAddresses) -> None:
    probe = "bench/starts_probe.py:probe"
    etl = "flows/medallion_etl_flow.py:medallion_etl_pipeline"
    wanted = (("start-probe", "warm", "etl-pool", probe), ("start-probe", "stock", _STOCK_POOL, probe),
              ("medallion-etl", "stock", _STOCK_POOL, etl))  # fmt: skip
    with httpx.Client(base_url=addresses.prefect_api, timeout=30, trust_env=False) as api:
        api.post("/work_pools/", json={"name": _STOCK_POOL, "type": "process"}).raise_for_status()
        for flow, name, pool, entrypoint in wanted:
            flow_id = api.post("/flows/", json={"name": flow}).raise_for_status().json()["id"]
            body = {"name": name, "flow_id": flow_id, "work_pool_name": pool, "entrypoint": entrypoint,
                    "path": str(PROJECT_ROOT), "pull_steps": [{_STEP: {"directory": str(PROJECT_ROOT)}}]}  # fmt: skip
            api.post("/deployments/", json=body).raise_for_status()


@contextmanager
def _stock_worker(warm_worker: int, log: Path) -> Iterator[None]:
    """Prefect's process worker, in the environment of the lab's but for Spark: each run has a session of its own."""
    environment = psutil.Process(warm_worker).environ()
    for name in ("SPARK_REMOTE", "DATALAB_WORKER_PRELOAD"):
        environment.pop(name, None)
    environment |= {"SPARK_MASTER_URL": "local[2]", "DATALAB_SPARK_JARS": ",".join(map(str, JarCache().paths("delta")))}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", _STOCK_POOL, "--type", "process"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=PROJECT_ROOT, stdout=output, stderr=output)
    try:
        until(lambda: b"started!" in log.read_bytes(), 60, "the stock worker")
        yield
    finally:
        process.terminate()
        process.wait(60)


def _part(environment: Mapping[str, str], name: str, state: str) -> dict[str, Any]:
    """What the status says of a part that is in that state; else nothing."""
    command = [sys.executable, "-m", "datalab.cli.main", "status", "--json"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    parts = json.loads(done.stdout or "{}").get("parts", [])
    return next((part for part in parts if part["name"] == name and part["state"] == state), {})


def _datalab(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "datalab.cli.main", *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"datalab {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout

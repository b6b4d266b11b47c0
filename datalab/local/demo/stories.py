"""The stories of the demonstration: each a file, the hops that it must cause, and the claims that must hold.

A good file becomes Gold, a trained model and a signed webhook; a broken one becomes an alert on four channels and an
audit of its quarantine; a price that jumps passes every rule, and the model's score of it becomes an alert.
"""

from __future__ import annotations

from pathlib import Path

from datalab.local.demo.eventlog import Seen
from datalab.local.demo.hops import alert, file_to_run, scores, tables
from datalab.local.demo.proof import Story
from datalab.local.demo.samples import JUMPING_SYMBOL, SYMBOLS
from datalab.local.demo.teller import Teller
from datalab.local.demo.witnesses import until

TRAINING = "mlops-training/mlops-training-weekly"
AUDIT = "quarantine-audit/quarantine-audit"
MODEL = "stocks-return"


class GoodFile:
    """File → run → Bronze, Silver, Gold → run completed → webhook; Gold → training → champion → scores."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller

    async def tell(self, target: Path) -> Story:
        """The whole story; one that is not complete says what is missing."""
        teller = self.teller
        with teller.until_missing():
            arrived, run_id = await file_to_run(teller, target)
            gold = await tables(teller, arrived)
            completed = await teller.event("lab.run.completed.v1", run_id)
            teller.claim("run's end names its cause", arrived.event.id, completed.event.causationid)
            await teller.message("webhook", run_id, "signed webhook received")
            await self._training(gold)
        return teller.story

    async def _training(self, gold: Seen) -> None:
        teller = self.teller
        run_id = await teller.run_of(gold.event.id, TRAINING)
        await teller.event("lab.run.completed.v1", run_id)
        scored = await scores(teller, run_id)
        trained = teller.ask.events.all(lambda e: e.type.startswith("lab.model.") and e.causationid == gold.event.id)
        for seen in trained:
            teller.saw(seen, f"version {seen.event.data['version']}: {seen.event.data.get('reason') or 'trained'}")
        champion = await teller.wait("the champion", until(lambda: teller.ask.mlflow.champion(MODEL), 20))
        teller.hop("champion", "MLflow", champion["run_id"], f"{MODEL} version {champion['version']}",
                   teller.ask.mlflow.link(MODEL, champion["version"]))  # fmt: skip
        teller.claim("symbols scored by the champion", sorted(SYMBOLS), sorted(s.event.data["entity"] for s in scored))
        unusual = [s.event.data["entity"] for s in scored if s.event.type == "lab.score.unusual.v1"]
        teller.claim("unusual among the real prices", [], unusual)


class BrokenFile:
    """File → run → quality failed → alert on four channels, audit of the quarantine; the good rows still reach Gold."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller

    async def tell(self, target: Path) -> Story:
        """The whole story; one that is not complete says what is missing."""
        teller = self.teller
        with teller.until_missing():
            arrived, run_id = await file_to_run(teller, target)
            failed = await teller.event("lab.quality.failed.v1", arrived.event.id)
            teller.claim("rows that broke a rule", teller.sample.broken_rows, failed.event.data["rows_failed"])
            await alert(teller, arrived, "data-quality", "error", mentions=target.stem)
            await tables(teller, arrived)
            await teller.event("lab.run.completed.v1", run_id)
            audit = await teller.run_of(failed.event.id, AUDIT)
            await teller.event("lab.run.completed.v1", audit)
        return teller.story


class JumpingPrice:
    """File → Gold → the champion scores it → unusual → alert with the score on four channels."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller

    async def tell(self, target: Path) -> Story:
        """The whole story; one that is not complete says what is missing."""
        teller = self.teller
        with teller.until_missing():
            arrived, loading = await file_to_run(teller, target)
            gold = await tables(teller, arrived)
            run_id = await teller.run_of(gold.event.id, TRAINING)
            unusual = await teller.event("lab.score.unusual.v1", run_id)
            data = unusual.event.data
            score = f"{data['score']:.1f}"
            teller.hop("scored", "champion", f"{data['name']} v{data['version']}",
                       f"{data['entity']} {data['period']}: changed by {data['observed']:.1f} %, "
                       f"expected {data['predicted']:.1f} %, score {score}")  # fmt: skip
            await alert(teller, arrived, "unusual-value", "warning", mentions=score)
            await teller.event("lab.run.completed.v1", run_id)
            await teller.event("lab.run.completed.v1", loading)
            scored = await scores(teller, run_id)
            found = [s.event.data["entity"] for s in scored if s.event.type == "lab.score.unusual.v1"]
            teller.claim("symbols found unusual", [JUMPING_SYMBOL], found)
        return teller.story


Telling = GoodFile | BrokenFile | JumpingPrice

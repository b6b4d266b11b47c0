"""Events about files that arrive in the lab."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.envelope import EventData

FileFormat = Literal["csv", "json", "jsonl", "parquet"]


class FileArrived(EventData):
    """A complete file with new content is readable at `uri`."""

    type: ClassVar[str] = "lab.file.arrived.v1"
    topic: ClassVar[str] = "lab.files"

    uri: str = Field(description="Percent-encoded URI of the file: file:///… or s3://…")
    path: str = Field(description="The same place as a plain path or key, not encoded")
    name: str = Field(description="Last part of the path")
    dataset: str = Field(description="Dataset that the file belongs to; the first directory below landing")
    format: FileFormat = Field(description="How the content is read")
    size_bytes: int = Field(gt=0, description="Size of the content in bytes")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Hash of the content, hexadecimal")
    modified_at: AwareDatetime = Field(description="When the content was last changed, as its store says")

    def subject(self) -> str:
        return self.dataset

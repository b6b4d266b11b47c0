"""inotify on the directories of the landing tree: says at once which files were just completed. It reads no file.

It only spares waiting: whatever it does not see is found by the listing. So every fault of it costs time and no file.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Iterable

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from datalab.runtime.logs import get_logger
from services.ingest.metrics import DIRECTORIES_WATCHED
from services.ingest.notices import Notices
from services.ingest.placement import ignored

log = get_logger(__name__)
_MASK = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)
# What there is not enough of on this machine; asking again for the next directory would get the same answer.
_SHORTAGE = frozenset((errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSYS))
# Of these few are pending at any time; more would only be those that left the tree.
_MOVES_REMEMBERED = 1000


class Watch:
    """The watches of one tree. What they tell is put into `notices`, on a thread of their own."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self._lock = threading.Lock()
        self._inotify: InotifyFD | None = None
        self._directories: dict[str, _Directory] = {}
        self._fault: str | None = None
        self._closed = False
        self._visible_moves: deque[int] = deque(maxlen=_MOVES_REMEMBERED)

    def follow(self, directories: Iterable[str]) -> None:
        """Watch exactly these directories from now on. Never raises; says once when that cannot be done."""
        wanted = set(directories)
        try:
            inotify = self._opened()
            with self._lock:
                followed = set(self._directories)
            for path in followed - wanted:
                self.forget(path)
            for path in sorted(wanted - followed):
                self._add(inotify, path)
        except OSError as error:
            self._say(f"{error.strerror or error}; files are noticed by the listing alone, later")
        else:
            self._say(None)
        self._tell_count()

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            self._closed = True
            inotify, self._inotify = self._inotify, None
        if inotify is not None:
            inotify.stop()
            inotify.join(5.0)
        self._directories.clear()
        DIRECTORIES_WATCHED.set(0)

    def overflowed(self, path: str) -> None:
        """More happened than the kernel keeps for us. Told for each directory, so only the first one counts."""
        with self._lock:
            if path != next(iter(self._directories), None):
                return
        log.warning("landing.notices_lost", reason="more happened at once than the kernel keeps; listing everything")
        self.notices.look()

    def entered(self, path: str) -> None:
        """A directory was made or moved here: files may be in it already, and more come at once."""
        inotify = self._inotify
        if inotify is not None:
            try:
                self._add(inotify, path)
            except OSError:
                log.debug("directory.unwatched", path=path)  # the next listing tries again, and says why
            self._tell_count()
        self.notices.look()

    def forget(self, path: str) -> None:
        """The directory is not here any more."""
        with self._lock:
            directory, inotify = self._directories.pop(path, None), self._inotify
            DIRECTORIES_WATCHED.set(len(self._directories))
        if directory is not None and inotify is not None and directory.descriptor is not None:
            inotify.remove_callbacks([(directory.descriptor, directory.id)])

    def moved_away(self, cookie: int) -> None:
        """A file with a visible name was renamed; what it is called now may still be written to."""
        self._visible_moves.append(cookie)

    def was_visible(self, cookie: int) -> bool:
        """Whether a rename began with a visible name in this tree."""
        return cookie in self._visible_moves

    def _opened(self) -> InotifyFD:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the watch is closed")
            if self._inotify is None or not self._inotify.is_alive():
                self._directories.clear()
                self._inotify = InotifyFD()
                self._inotify.start()
            return self._inotify

    def _add(self, inotify: InotifyFD, path: str) -> None:
        """Watch a directory. Raises OSError only if there is no room for it; what has vanished is passed over."""
        directory = _Directory(self, path)
        with self._lock:
            if path in self._directories:
                return
            self._directories[path] = directory
        try:
            directory.descriptor = inotify.add_callback(os.fsencode(path), _MASK, directory, directory.id)
        except OSError as error:
            self.forget(path)
            if error.errno in _SHORTAGE:
                raise

    def _tell_count(self) -> None:
        """After new watches are in force: who reads the figure relies on notices from then on."""
        with self._lock:
            DIRECTORIES_WATCHED.set(0 if self._closed else len(self._directories))

    def _say(self, fault: str | None) -> None:
        if fault is not None and fault != self._fault:
            log.warning("landing.unwatched", reason=fault)
        self._fault = fault


class _Directory:
    """What the kernel tells about one directory, on watchdog's reading thread."""

    def __init__(self, watch: Watch, path: str) -> None:
        self._watch, self._path = watch, path
        self.id = CallbackId(id(self))
        self.descriptor: WatchDescriptor | None = None

    def on_event(self, event: InotifyEvent) -> None:
        """Tell the watch what became of an entry."""
        if event.is_move_self:
            # Renamed directories keep their watch, under a path that is no longer theirs.
            self._watch.forget(self._path)
            self._watch.notices.look()
            return
        name = os.fsdecode(event.name)
        if ignored(name):
            return
        path = f"{self._path}{os.sep}{name}"
        if event.is_directory:
            if event.is_create or event.is_moved_to:
                self._watch.entered(path)
        elif event.is_moved_from:
            self._watch.moved_away(event.cookie)
        elif event.is_close_write or (event.is_moved_to and not self._watch.was_visible(event.cookie)):
            self._watch.notices.completed(path)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The directory is gone, and its watch with it."""
        self.descriptor = None
        self._watch.forget(self._path)

    def on_queue_overflow(self) -> None:
        """The kernel dropped events."""
        self._watch.overflowed(self._path)

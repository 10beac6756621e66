"""The store: the truth of every study.  Whole pieces under keys; reads and writes files, nothing else."""

from ftstab.store.contract import Content, Piece, ReplacedError, Store, check_key, read_piece
from ftstab.store.folder import FolderStore
from ftstab.store.lease import Holder, Lease
from ftstab.store.location import open_store, store_root
from ftstab.store.records import Records, State

__all__ = [
    "Content",
    "FolderStore",
    "Holder",
    "Lease",
    "Piece",
    "Records",
    "ReplacedError",
    "State",
    "Store",
    "check_key",
    "open_store",
    "read_piece",
    "store_root",
]

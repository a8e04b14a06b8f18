"""Object stores: conditional writes, faults as ``OSError``, and what a killed writer leaves."""

from typing import Any

import obstore
import pytest
from obstore import exceptions

from tests.support.stores import bucket_in_memory
from trainables.storage import Storage, objects


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Storage:
    return bucket_in_memory(monkeypatch)


class Faulty:
    """The functions of ``obstore``, some of which fail.

    Args:
        fault: what is raised instead.
        name: of the function.
        keys: by what the keys end for which it fails.
    """

    def __init__(self, fault: Exception, name: str, keys: str = "") -> None:
        self._fault, self._name, self._keys = fault, name, keys

    def __getattr__(self, name: str) -> Any:
        real = getattr(obstore, name)

        def called(store: Any, key: Any, *arguments: Any, **options: Any) -> Any:
            if name != self._name or not str(key).endswith(self._keys):
                return real(store, key, *arguments, **options)
            raise self._fault

        return called


@pytest.mark.parametrize(
    ("function", "act"),
    [
        ("get", lambda storage: storage.read("a")),
        ("put", lambda storage: storage.write("a", b"")),
        ("put", lambda storage: storage.create("a", b"")),
        ("put", lambda storage: storage.write_folder("a", {"one": b"", "two": b""})),
        ("list", lambda storage: storage.tree("a")),
        ("list_with_delimiter", lambda storage: storage.names("a")),
        ("head", lambda storage: storage.exists("a")),
        ("delete", lambda storage: storage.remove("a")),
    ],
)
def test_faults_are_of_the_operating_system_s_kind_with_one_line_and_the_path(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, function: str, act: Any
) -> None:
    fault = exceptions.GenericError("the connection was reset\n\nDebug source: a page of text")
    monkeypatch.setattr(objects, "obstore", Faulty(fault, function))
    with pytest.raises(OSError, match=r"the connection was reset$") as raised:
        act(storage)
    assert str(raised.value).startswith(f"{storage.location}/a")


def test_what_is_absent_is_named_in_one_line(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        storage.read("a/b")
    assert str(raised.value) == f"{storage.location}/a/b does not exist"


def test_a_lost_answer_does_not_hide_what_was_created(storage: Storage) -> None:
    """The client repeats a request whose answer was lost, and meets what the first one has written."""
    assert storage.create("a", b"ours")
    assert storage.create("a", b"ours"), "it is what we have written"
    assert not storage.create("a", b"theirs")


def test_a_folder_without_its_last_file_is_left_by_a_writer_that_fails(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"one": b"1", "two": b"2", "manifest": b"{}"}
    with monkeypatch.context() as patch:
        patch.setattr(objects, "obstore", Faulty(exceptions.GenericError("gone"), "put", "/two"))
        with pytest.raises(OSError, match="gone"):
            storage.write_folder("folder", contents)
    assert storage.tree("folder") == {"one": 1}
    storage.write_folder("folder", contents)
    assert storage.tree("folder") == {"one": 1, "two": 1, "manifest": 2}


@pytest.mark.parametrize(
    ("endpoint", "plain"), [("http://127.0.0.1:9000", True), ("https://store", False), ("", False)]
)
def test_a_bucket_is_opened_once_and_without_encryption_only_where_the_endpoint_says_so(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, plain: bool
) -> None:
    opened: list[tuple[str, Any]] = []

    def from_url(url: str, **options: Any) -> obstore.store.MemoryStore:
        opened.append((url, options))
        return obstore.store.MemoryStore()

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr(objects, "from_url", from_url)
    bucket = f"bucket-{len(endpoint)}"
    for prefix in ("one", "two"):
        Storage.at(f"s3://{bucket}/{prefix}").write("a", b"")
    ((url, options),) = opened
    assert url == f"s3://{bucket}"
    assert options["client_options"].get("allow_http", False) is plain
    assert options["retry_config"]["max_retries"] > 0

"""A study as it stands in a storage: its settled plan, its folder, and the records that are there."""

from collections.abc import Mapping

from ctkd_study.errors import StudyError
from ctkd_study.plan.bank_choice import settled
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.records import StudyFolder, refuse_changes
from ctkd_study.spec import StudySpec
from trainables import record
from trainables.record import Manifest, Scan
from trainables.storage import Storage

_NOTHING = Scan()


class StudyState:
    """A study with its folder: settled once, and read once.

    Args:
        spec: the study.
        storage: where studies lie.
        fresh: whether the study starts anew, so that choices made at an earlier first run do not count.

    Raises:
        StudyError: the stored study is damaged, or the study needs a bank larger than it allows.
    """

    def __init__(self, spec: StudySpec, storage: Storage, fresh: bool = False) -> None:
        self.folder = StudyFolder(storage, spec.name)
        stored, self._uid = (None, "") if fresh or not self.folder.is_study() else self.folder.stored()
        self.plan: Plan = make_plan(settled(spec, stored))
        self._scans: dict[str, Scan] = {}
        self._failures_from = 0

    @property
    def spec(self) -> StudySpec:
        """The study, with what was chosen at its first run."""
        return self.plan.spec

    @property
    def storage(self) -> Storage:
        """Where studies, teachers and banks lie."""
        return self.folder.storage

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """The newest complete manifest of each trial that has one, by trial id."""
        return {key: scan.newest.manifest for key, scan in self._scans.items() if scan.newest is not None}

    def scan_of(self, trial_id: str) -> Scan:
        """What was found in a trial's folder when it was last read."""
        return self._scans.get(trial_id, _NOTHING)

    def read(self, check_hashes: bool = False) -> "StudyState":
        """Read the records of all planned trials; returns the state itself.

        Args:
            check_hashes: whether to read every file of a record; sizes are always compared.

        Raises:
            StudyError: a record cannot be read now; the text names it.
        """
        present = set(self.folder.root.names())
        for trial in self.plan.trials:
            if trial.id in present:
                try:
                    self.read_trial(trial.id, check_hashes)
                except OSError as fault:
                    raise StudyError(f"the record of {trial.id} cannot be read: {fault}") from fault
        return self

    def refuse_changes(self) -> "StudyState":
        """Check that every recorded trial is the one that is planned now; returns the state itself.

        Raises:
            ChangedStudyError: one is not; the message lists what differs.
        """
        refuse_changes(self.folder, self.plan.trials, self.manifests)
        return self

    def read_trial(self, trial_id: str, check_hashes: bool = False) -> Manifest | None:
        """Read one trial's record again; returns its newest manifest, if it has one."""
        self._scans[trial_id] = found = record.scan(self.folder.trial(trial_id), check_hashes, wanted=self._counts)
        return found.newest.manifest if found.newest is not None else None

    def stored(self) -> str:
        """Store the study; returns its uid. From then on, records of a study that was set aside do not count."""
        self._uid = self.folder.store(self.spec)
        return self._uid

    def forget_failures(self, launch: int) -> None:
        """Pass over what trials recorded when they failed in launches before this one, so that they are due again."""
        self._failures_from = launch
        for trial_id in [key for key, manifest in self.manifests.items() if manifest.status == "failed"]:
            self.read_trial(trial_id, check_hashes=True)

    def _counts(self, manifest: Manifest) -> bool:
        failed_before = manifest.status == "failed" and manifest.attempt < self._failures_from
        return manifest.uid == self._uid and not failed_before

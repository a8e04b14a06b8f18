"""A study as it stands in a storage: its settled plan, its folder, and the records that are there."""

from collections.abc import Mapping

from ctkd_study.errors import StudyError
from ctkd_study.plan.bank_choice import settled
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.rule import as_begun
from ctkd_study.records import StudyFolder, inputs_of, refuse_changes
from ctkd_study.spec import StudySpec
from trainables import record, teacher
from trainables.config import TrialConfig
from trainables.data import Loaded
from trainables.inputs import Inputs
from trainables.record import Checkpoint, Manifest, Scan
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
        ChangedStudyError: how seeds are added is not as fixed at the first run.
    """

    def __init__(self, spec: StudySpec, storage: Storage, fresh: bool = False) -> None:
        self.folder = StudyFolder(storage, spec.name)
        stored, self._uid = (None, "") if fresh or not self.folder.is_study() else self.folder.stored()
        self.plan: Plan = make_plan(settled(as_begun(spec, stored), stored))
        self._scans: dict[str, Scan] = {}
        self._failures_from = 0
        self._recorded = self._now = Inputs()
        self._seen: str | None = None
        """SHA-256 of the data as the teacher sees it now, if the data is at hand."""

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

    @property
    def inputs(self) -> Inputs:
        """The data and the teacher of the study: as its records state them, else as they are now."""
        return self._recorded.or_else(self._now)

    def with_data(self, data: Loaded) -> "StudyState":
        """Take the study's data as it is now, for comparison with the records; returns the state itself."""
        self._now, self._seen = Inputs(data.sha256), data.for_teacher().sha256
        return self

    @property
    def teacher_config(self) -> TrialConfig | None:
        """A trial that knows the study's teacher, if there is one; all have the same."""
        return next((trial.config for trial in self.plan.trials if trial.config.teacher is not None), None)

    def teacher_record(self) -> Checkpoint | None:
        """The record of the study's teacher, if it was trained in the storage.

        It is that of the weights that the trials have read; without records, that for the study's data; where this is
        not at hand, the only one.
        """
        config = self.teacher_config
        if config is None:
            return None
        return teacher.record_of(config, self.storage, self._seen, self._recorded.teacher)

    def teacher_folder(self) -> Storage | None:
        """The folder in which the study's teacher is trained; None if none is, or which one is not known yet."""
        config = self.teacher_config
        if config is None or config.teacher is None or config.teacher.recipe is None:
            return None
        if self._seen is not None:
            return teacher.folder_of(config, self.storage, self._seen)
        if (found := self.teacher_record()) is not None:
            return found.storage
        folders = teacher.folders_of(config, self.storage)
        return folders[0] if len(folders) == 1 else None

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
        """Check that every recorded trial is the one that is planned now, with its data and teacher.

        Returns:
            The state itself.

        Raises:
            ChangedStudyError: one is not; the message lists what differs.
        """
        config = self.teacher_config
        if config is not None and self._seen is not None:
            self._now = Inputs(self._now.data, teacher.known_weights(config, self._seen, self.storage))
        refuse_changes(self.folder, self.plan.trials, self.manifests, self._now)
        return self

    def read_trial(self, trial_id: str, check_hashes: bool = False) -> Manifest | None:
        """Read one trial's record again; returns its newest manifest, if it has one."""
        self._scans[trial_id] = found = record.scan(self.folder.trial(trial_id), check_hashes, wanted=self._counts)
        if found.newest is None:
            return None
        self._recorded = self._recorded.or_else(inputs_of(found.newest.manifest))
        return found.newest.manifest

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

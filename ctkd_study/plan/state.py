"""A study as it stands in a storage: its settled plan, its folder, and the records that are there."""

import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctkd_study.errors import StudyError
from ctkd_study.plan.bank_choice import settled
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.rule import as_begun
from ctkd_study.records import StudyFolder, inputs_of, refuse_changes
from ctkd_study.spec import PlannedTrial, StudySpec
from trainables import record, teacher
from trainables.config import TrialConfig
from trainables.data import Loaded
from trainables.inputs import Inputs
from trainables.record import CORRECT, Checkpoint, Damaged, Manifest, Scan
from trainables.storage import Storage

_NOTHING = Scan()
_UNKNOWN = Inputs()


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
        self._plan = make_plan(settled(as_begun(spec, stored), stored))
        self._searches = [arm.name for arm in spec.resolved_arms if arm.searched is not None]
        self._scans: dict[str, Scan] = {}
        self._failures_from = 0
        self._recorded: dict[int, Inputs] = {}
        """What the records state, by group of seeds."""
        self._now: dict[int, Inputs] = {}
        self._seen: dict[int, str] = {}
        """SHA-256 of the data as each group's teacher sees it now, if the data is at hand."""

    @property
    def spec(self) -> StudySpec:
        """The study, with what was chosen at its first run."""
        return self._plan.spec

    @property
    def plan(self) -> Plan:
        """The study's trials, as far as the records tell them."""
        return make_plan(self.spec, self.manifests) if self._searches else self._plan

    @property
    def storage(self) -> Storage:
        """Where studies, teachers and banks lie."""
        return self.folder.storage

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """The newest complete manifest of each trial that has one, by trial id."""
        return {key: scan.newest.manifest for key, scan in self._scans.items() if scan.newest is not None}

    def inputs(self, group: int = 0) -> Inputs:
        """The data and the teacher of a group of seeds: as its records state them, else as they are now."""
        return self._recorded.get(group, _UNKNOWN).or_else(self._now.get(group, _UNKNOWN))

    def with_data(self, data: Sequence[Loaded]) -> "StudyState":
        """Take the data of each group as it is now, for comparison with the records; returns the state itself."""
        self._now = {group: Inputs(each.sha256) for group, each in enumerate(data)}
        self._seen = {group: each.for_teacher().sha256 for group, each in enumerate(data)}
        return self

    @functools.cached_property
    def teacher_configs(self) -> Mapping[int, TrialConfig]:
        """By group of seeds, a trial that knows the group's teacher; empty if there is none."""
        found: dict[int, PlannedTrial] = {}
        for trial in self._plan.trials:
            if trial.setting.config.teacher is not None:
                found.setdefault(trial.group, trial)
        return {group: trial.config for group, trial in found.items()}

    def teacher_records(self) -> dict[int, Checkpoint]:
        """The records of the teachers that were trained in the storage, by group of seeds.

        A record is that of the weights that the group's trials have read; without records, that for its data; where
        this is not at hand, the only one.
        """
        found = ((group, self._teacher_record(group, config)) for group, config in self.teacher_configs.items())
        return {group: record for group, record in found if record is not None}

    def teacher_folders(self) -> list[Storage | None]:
        """The folder of each teacher that is trained; None for one that is not known yet."""
        return [
            self._teacher_folder(group, config)
            for group, config in self.teacher_configs.items()
            if config.teacher is not None and config.teacher.recipe is not None
        ]

    def _teacher_record(self, group: int, config: TrialConfig) -> Checkpoint | None:
        weights = self._recorded.get(group, _UNKNOWN).teacher
        return teacher.record_of(config, self.storage, self._seen.get(group), weights)

    def _teacher_folder(self, group: int, config: TrialConfig) -> Storage | None:
        if group in self._seen:
            return teacher.folder_of(config, self.storage, self._seen[group])
        if (found := self._teacher_record(group, config)) is not None:
            return found.storage
        folders = teacher.folders_of(config, self.storage)
        return folders[0] if len(folders) == 1 else None

    def scan_of(self, trial_id: str) -> Scan:
        """What was found in a trial's folder when it was last read."""
        return self._scans.get(trial_id, _NOTHING)

    def read(self, check_hashes: bool = False) -> "StudyState":
        """Read the records of all planned trials, and of all that searches have tried; returns the state itself.

        Args:
            check_hashes: whether to read every file of a record; sizes are always compared.

        Raises:
            StudyError: a record cannot be read now; the text names it.
        """
        present = self.folder.root.names()
        searched = [re.compile(rf"{re.escape(name)}-[0-9a-f]{{8}}-s\d+") for name in self._searches]
        known = {trial.id for trial in self._plan.trials}
        for name in present:
            if name in known or any(pattern.fullmatch(name) for pattern in searched):
                try:
                    self.read_trial(name, check_hashes)
                except OSError as fault:
                    raise StudyError(f"the record of {name} cannot be read: {fault}") from fault
        return self

    def refuse_changes(self) -> "StudyState":
        """Check that every recorded trial is the one that is planned now, with its data and teacher.

        Returns:
            The state itself.

        Raises:
            ChangedStudyError: one is not; the message lists what differs.
        """
        for group, seen in self._seen.items():
            if (config := self.teacher_configs.get(group)) is not None:
                weights = teacher.known_weights(config, seen, self.storage)
                self._now[group] = Inputs(self._now[group].data, weights)
        refuse_changes(self.folder, self.spec.resolved_arms, self.plan.trials, self.manifests, self._now)
        return self

    def test_correct(self, trial_id: str) -> NDArray[np.bool_] | None:
        """Return which test examples a trial has right at its selected epoch, shape (examples,); None if unknown."""
        for check_hashes in (False, True):  # sizes alone were compared
            found = self.scan_of(trial_id).newest
            if found is None or found.manifest.test_examples is None or CORRECT not in found.manifest.files:
                return None
            try:
                return found.test_correct(found.manifest.test_examples)
            except (Damaged, FileNotFoundError):
                if not check_hashes:
                    self.read_trial(trial_id, check_hashes=True)
        return None

    def read_trial(self, trial_id: str, check_hashes: bool = False) -> Manifest | None:
        """Read one trial's record again; returns its newest manifest, if it has one."""
        self._scans[trial_id] = found = record.scan(self.folder.trial(trial_id), check_hashes, wanted=self._counts)
        if found.newest is None:
            return None
        manifest = found.newest.manifest
        group = self.spec.vary.group(manifest.seed)
        self._recorded[group] = self._recorded.get(group, _UNKNOWN).or_else(inputs_of(manifest))
        return manifest

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

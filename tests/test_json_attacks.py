"""A sample of `json_attacks.py` in this process; TFPOSE_JSON_ATTACKS=3000 tries so many inputs."""

from __future__ import annotations

import os
import subprocess
import sys

import json_attacks
import pytest

NUM_INPUTS = int(os.environ.get("TFPOSE_JSON_ATTACKS", "0"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    found = json_attacks.build_cases(tmp_path_factory.mktemp("attacked"))
    assert set(found) == {*json_attacks.CASES, *json_attacks.NETWORK_CASES}
    return found


@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
@pytest.mark.parametrize("name", [*json_attacks.CASES, *json_attacks.NETWORK_CASES])
def test_damaged_json_is_used_or_refused_in_one_line(cases, name):
    assert not cases[name].run(), "without damage"
    outcomes = [json_attacks.attack(cases[name], seed) for seed in range(2 if "report" in name else 12)]
    faults = [(seed, *found) for seed, found in enumerate(outcomes) if found[0] not in ("used", "refused")]
    assert not faults
    assert len(outcomes) < 12 or "refused" in {outcome for outcome, _ in outcomes}


@pytest.mark.skipif(not NUM_INPUTS, reason="takes minutes; TFPOSE_JSON_ATTACKS=3000 runs it")
def test_all_damaged_json():
    command = [sys.executable, json_attacks.__file__, f"--num={NUM_INPUTS}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-3000:]

"""The files of examples/: they parse, and what they tell the processes of a training is a cluster that tfpose reads."""

import http.server
import json
import os
import pathlib
import subprocess
import threading

import pytest

from tfpose.training.cluster import read_cluster

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted([*EXAMPLES.rglob("*.sbatch"), *EXAMPLES.rglob("*.sh")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(path):
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.y*ml")), ids=lambda path: path.name)
def test_yaml_files_parse(path):
    yaml = pytest.importorskip("yaml")
    assert all(isinstance(part, dict) for part in yaml.safe_load_all(path.read_text()))


def test_pods_of_a_job_are_a_cluster(monkeypatch):
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((EXAMPLES / "kubernetes" / "train.yaml").read_text())
    name, spec = service["metadata"]["name"], job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    workers = int(container["env"][0]["value"])
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]} and pod["subdomain"] == name
    assert spec["completions"] == spec["parallelism"] == workers
    (script,) = container["args"]
    lines = script.splitlines()
    assert lines[-1].startswith("exec tfpose train ")
    environment = {"PATH": os.environ["PATH"], "WORKERS": str(workers), "JOB_COMPLETION_INDEX": "2"}
    command = [*container["command"], "\n".join([*lines[:-1], "printenv TF_CONFIG"])]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("TF_CONFIG", printed)
    cluster = read_cluster()
    assert cluster.own == 2 and cluster.addresses == tuple(f"{name}-{index}.{name}:12345" for index in range(workers))


def test_the_container_gets_the_files_beside_it():
    yaml = pytest.importorskip("yaml")
    folder = EXAMPLES / "serving"
    service = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["pose"]
    inside = {}
    for volume in service["volumes"]:
        outside, _, place = volume.removesuffix(":ro").rpartition(":")
        inside[place] = outside
    for flag in service["command"]:
        name, _, value = flag.partition("=")
        assert name == "--enable_batching" or (folder / inside[value]).is_file(), flag
    scraped = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"][0]
    assert f'path: "{scraped["metrics_path"]}"' in (folder / "monitoring.config").read_text()
    assert scraped["static_configs"] == [{"targets": ["pose:8501"]}]


@pytest.mark.parametrize("state", ["AVAILABLE", "LOADING"])
def test_the_container_is_ready_when_the_model_is_available(state):
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((EXAMPLES / "serving" / "compose.yaml").read_text())
    kind, *command = compose["services"]["pose"]["healthcheck"]["test"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"path": self.path, "state": state}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        command = [word.replace("localhost/8501", f"localhost/{server.server_port}") for word in command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        thread.join()
    assert kind == "CMD" and (done.returncode == 0) == (state == "AVAILABLE"), done.stderr


# How Slurm's programs and tfpose behave in the test: two nodes, a process on each.
STAND_INS = {
    "scontrol": """if [[ $1 == show ]]; then printf '%s\\n' node1 node2; else echo "$@" >> "$LOG"; fi""",
    "srun": """shift; for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@" || code=$?; done; exit ${code:-0}""",
    "tfpose": """echo "$TF_CONFIG" >> "$LOG"
mv "$CODES.$SLURM_PROCID" "$CODES.old.$SLURM_PROCID" 2> /dev/null && exit 1
exit "$LAST_CODE\"""",
}


@pytest.mark.parametrize(("last_code", "requeued"), [(0, []), (143, ["requeue 7"])])
def test_processes_of_slurm_are_a_cluster_and_start_again(tmp_path, monkeypatch, last_code, requeued):
    """The first attempt ends with an error."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    for name, text in STAND_INS.items():
        path = tmp_path / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
    for process in range(2):
        (tmp_path / f"codes.{process}").touch()
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        **{"LOG": str(tmp_path / "log"), "CODES": str(tmp_path / "codes"), "LAST_CODE": str(last_code)},
        **{"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "7"},
    }
    script = EXAMPLES / "slurm" / "train.sbatch"
    done = subprocess.run(["bash", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == last_code and "attempt 1 ended with code 1" in done.stderr
    *configs, last = (tmp_path / "log").read_text().splitlines()
    configs, others = ([*configs, last], []) if last.startswith("{") else (configs, [last])
    assert others == requeued and len(configs) == 4
    for index, config in enumerate(configs):
        monkeypatch.setenv("TF_CONFIG", config)
        cluster = read_cluster()
        assert (cluster.own, cluster.addresses) == (index % 2, ("node1:12345", "node2:12345"))

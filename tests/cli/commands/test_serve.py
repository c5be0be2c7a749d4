"""`xlprompt serve` as a process: what it prints and answers, how it ends, what it refuses."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xlprompt.training import find_checkpoint, open_predictor

pytestmark = pytest.mark.integration
RUN = [sys.executable, "-c", "from xlprompt.cli.main import main; main()", "serve"]


@pytest.fixture(scope="module")
def trained_run(xlprompt, recipe_file, tmp_path_factory):
    """A store, and the id of the run in it."""
    store = tmp_path_factory.mktemp("served") / "mlruns"
    result = xlprompt("train", recipe_file, "--mlruns", store, "--json")
    assert result.exit_code == 0, result.output
    return store, json.loads(result.stdout)["run_id"]


@pytest.fixture(scope="module")
def served(trained_run):
    """A server of one run, its port, and the run's predictor."""
    store, run = trained_run
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*RUN, run, "--mlruns", str(store), "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert f"on one backbone: http://127.0.0.1:{port} " in server.stdout.readline()
        yield server, port, open_predictor(find_checkpoint(run, store)[0])
    finally:
        server.kill()
        server.wait(30)


def send(port, method, path, body=None):
    """A request that is sent; `answer` reads what comes back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"content-type": "application/json"})
    return connection


def answer(connection):
    try:
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask(port, texts):
    return send(port, "POST", "/predict", json.dumps({"task": "xnli", "texts": texts}))


def test_32_requests_at_a_time_are_answered_as_predict_does(served):
    _, port, predictor = served
    texts = [(f"The man has {number} coats.", "book " * (1 + number % 3)) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda text: answer(ask(port, [text])), texts))
    for (status, body), expected in zip(answers, predictor.predict(texts), strict=True):
        assert status == 200
        (found,) = body["predictions"]
        assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-3)


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(served, xlprompt):
    _, port, _ = served
    result = xlprompt("serve", "any", "--port", port)
    assert result.exit_code == 1
    assert f"Port {port} is taken" in result.output


def test_a_run_that_is_not_there_is_an_error_of_one_line(xlprompt, trained_run):
    result = xlprompt("serve", "no-such-run", "--mlruns", trained_run[0])
    assert result.exit_code == 2
    assert "no run 'no-such-run' in this store" in result.output


def test_stopped_it_answers_what_it_has_taken_and_ends(served):
    server, port, _ = served
    texts = [[f"The man has {number} coats.", "book"] for number in range(64)]
    asked = [ask(port, texts) for _ in range(4)]
    assert answer(send(port, "GET", "/health"))[0] == 200  # came later, so those are taken
    server.send_signal(signal.SIGINT)
    assert [answer(each)[0] for each in asked] == [200] * 4
    assert server.wait(60) == 0
    assert "Stopped." in server.stdout.read()

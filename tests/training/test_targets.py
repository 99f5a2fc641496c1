"""Targets are checked against what the cost is defined for, wherever data come from."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_cli

import bpframe
from bpframe import BpframeError, Examples, equations

X = np.array([[1.0], [2.0], [3.0], [4.0]])


def refusal(y, *overrides):
    """The message with which these targets are refused."""
    experiment = bpframe.compose(
        [
            "data=inline",
            "data.x=[[1],[2],[3],[4]]",
            f"data.y={np.asarray(y).tolist()}",
            "training.batch_size=2",
            "training.epochs=1",
            *overrides,
        ]
    )
    with pytest.raises(BpframeError) as raised:
        bpframe.run(experiment)
    return str(raised.value)


@pytest.mark.parametrize(
    ("cost", "y", "found"),
    [
        ("cross_entropy", [[10], [20], [30], [40]], "10 to 40"),
        ("cross_entropy", [[0], [1], [-0.001], [1]], "-0.001 to 1"),
        ("hinge", [[-1], [1], [-1], [1]], "-1 to 1"),
    ],
)
def test_targets_outside_of_the_cost_are_refused(cost, y, found):
    """In a run, in a run with data of one's own, and by `bpframe.gradient`."""
    message = refusal(y, f"cost={cost}")
    name = {"cross_entropy": "CrossEntropy", "hinge": "Hinge"}[cost]
    change = "write 0 for -1" if cost == "hinge" else "change the targets"
    advice = "; data.task=regression chooses it, with linear outputs"
    assert message.removesuffix(advice) == (
        f"cost: {name} is defined for targets from 0 to 1, and the train set has {found}; "
        f"{change}, or choose a cost that takes them, such as quadratic"
    )

    experiment = bpframe.compose(
        ["data=inline", f"cost={cost}", "data.x=[[1]]", "data.y=[[1]]", "training.batch_size=1"]
    )
    one = Examples(X[:1], np.array([[1.0]]), 1)
    own = bpframe.Data(one, Examples(X, np.array(y, float), 1), one)
    with pytest.raises(BpframeError, match=f"the validation set has {found}"):
        bpframe.run(experiment, data=own)

    params = (bpframe.Params(jnp.ones((1, 1)), jnp.zeros(1)),)
    network = bpframe.Network((1,), (experiment.network.layers[-1],))
    with pytest.raises(BpframeError, match=f"and y has {found}"):
        equations.gradient(network, experiment.cost, params, jnp.asarray(X), jnp.asarray(y))


def test_distributions_are_the_targets_of_log_likelihood():
    message = refusal(
        [[0.5, 0.5], [2, 0], [1, 0], [0, 1]],
        "cost=log_likelihood",
        "network.output_activation=softmax",
    )
    assert (
        "LogLikelihood is defined for targets from 0 to 1, and the train set has 0 to 2" in message
    )


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["quadratic", "absolute", "huber"])
def test_costs_of_regression_take_any_target(cost):
    """Slow: compiles a program."""
    experiment = bpframe.compose(
        [
            "data=inline",
            "data.x=[[1],[2]]",
            "data.y=[[-1e3],[1e3]]",
            f"cost={cost}",
            "network.output_activation=linear",
            "optimiser.eta=1e-4",
            "training.batch_size=2",
            "training.epochs=1",
        ]
    )
    assert bpframe.run(experiment).summary.status == "completed"


@pytest.mark.slow
def test_the_gradient_may_be_traced():
    """What has no values yet is not checked. Slow: runs whole commands."""
    experiment = bpframe.compose(["data=xor", "network.hidden=[2]"])
    network, pair = experiment.network, experiment.cost
    params = tuple(
        bpframe.Params(jnp.ones((n, m)), jnp.zeros(n))
        for m, n in zip(network.sizes[:-1], network.sizes[1:], strict=True)
    )
    m, n = network.sizes[0], network.sizes[-1]
    found = jax.jit(equations.gradient)(
        network, pair, params, jnp.ones((3, m)), jnp.full((3, n), 7.0)
    )
    assert found.deltas[-1].shape == (3, n)


main = test_cli.main
QUICK = ("data.train_size=20", "network.hidden=[2]", "training.epochs=1")
HINT = (
    "Softmax gives outputs that sum to one, and CrossEntropy judges each of them by itself; "
    "cost=log_likelihood suits them better, with delta^L = a^L - y"
)


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "times"), [("cross_entropy", 1), ("log_likelihood", 0)])
def test_a_better_suited_cost_is_named(main: test_cli.Main, cost, times):
    """In a run, once in a sweep, and by `explain`. Slow: compiles a program."""
    overrides = (f"cost={cost}", "network.output_activation=softmax", *QUICK)
    for words in (overrides, ("-m", *overrides, "optimiser.eta=0.1,0.2"), ("explain", *overrides)):
        ended = main(*words)
        assert (ended.status, ended.err) == (0, "")
        out = " ".join(ended.out.split()) if words[0] == "explain" else ended.out
        assert out.count(HINT) == times


REGRESSION = (
    *("data=inline", "data.x=[[1],[2],[3]]", "data.y=[[10],[20],[30]]", "training.batch_size=3"),
    *("network.hidden=[2]", "network.output_activation=linear", "cost=quadratic"),
    *("training.epochs=2", "hydra.sweep.dir=sweep"),
)


@pytest.mark.slow
def test_a_sweep_of_a_regression_is_compared_by_cost(main: test_cli.Main, tmp_path):
    """Slow: compiles a program."""
    ended = main("-m", *REGRESSION, "optimiser.eta=0.01,0.001")
    assert (ended.status, ended.err) == (0, "")
    assert "reaches" not in ended.out
    assert "there is no accuracy: jobs are compared by best_validation_cost" in ended.out
    lines = (tmp_path / "sweep" / "results.jsonl").read_text().splitlines()
    metrics = [json.loads(line)["metrics"] for line in lines]
    assert not any("accuracy" in name for found in metrics for name in found)
    table, _, *_ = (tmp_path / "sweep" / "results.csv").read_text().partition("\n")
    assert "cost" in table
    assert "accuracy" not in table
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "accuracy" not in _data_of(page).replace("test accuracy", "")  # of the filter's example
    costs = [found["best_validation_cost"] for found in metrics]
    best = (tmp_path / "sweep" / "best.yaml").read_text()
    assert f"eta: {[0.01, 0.001][costs.index(min(costs))]}" in best


def _data_of(page: str) -> str:
    """What a report says, without the code that draws it."""
    return page.partition("</style>")[2].partition("<script")[0] + page.rpartition("<script")[2]


@pytest.mark.slow
def test_targets_out_of_reach_are_told(main: test_cli.Main):
    """By sigmoid, which the linear output of the other test reaches. Slow: compiles a program."""
    ended = main(*(text for text in REGRESSION if "output" not in text), "hydra.run.dir=run")
    assert (
        "Sigmoid gives outputs from 0 to 1, and the targets are 10 to 30; "
        "network.output_activation=linear reaches them\n"
    ) in ended.out


@pytest.mark.slow
def test_a_search_of_a_regression_follows_the_cost(main: test_cli.Main, tmp_path):
    """Slow: compiles a program."""
    search = ("hydra/sweeper=search", "hydra.sweeper.n_trials=2")
    ended = main("-m", *search, *REGRESSION, "optimiser.eta=interval(0.001,0.01)")
    assert (ended.status, ended.err) == (0, "")
    costs = [
        json.loads((tmp_path / "sweep" / str(num) / "summary.json").read_text()) for num in range(2)
    ]
    best = min(range(2), key=lambda num: costs[num]["best_validation_cost"])
    assert f"best: job {best}, best_validation_cost " in ended.out


@pytest.mark.parametrize("objective", ["best_validation_accuracy", "test_accuracy"])
@pytest.mark.parametrize("search", [None, ("hydra/sweeper=search", "hydra.sweeper.n_trials=1")])
def test_an_accuracy_of_a_regression_is_refused(main: test_cli.Main, tmp_path, objective, search):
    """In a sweep and in a search, before anything is written."""
    words = (*(search or ()), *REGRESSION, f"sweep.objective={objective}")
    ended = main("-m", *words, "optimiser.eta=interval(0.1,1)" if search else "seed=1,2")
    assert ended.status == 1
    assert "nothing was trained" in ended.err
    assert (
        f"sweep.objective: {objective} has no meaning for these data, which have no accuracy, as "
        "in regression; leave it out, or set sweep.objective=best_validation_cost\n"
    ) in ended.err
    assert not (tmp_path / "sweep").exists()

"""The algorithm as it stands for one configuration, as plain text or as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from bpframe.component import hyperparameters
from bpframe.contracts import Activation, ElementwiseActivation, Formula, InitialCondition
from bpframe.equations import Dense, Unpaired
from bpframe.explanation import layers as of_layers
from bpframe.explanation import rules as of_rules
from bpframe.explanation.items import (
    Equation,
    Heading,
    Item,
    Prose,
    as_latex,
    as_text,
    described,
    equation,
)
from bpframe.learning import Aggregation, Optimiser, replaces
from bpframe.network import Layer, ModifiedNeurons, PerNeuronActivation
from bpframe.training.advice import better_cost
from bpframe.training.experiment import POISSON, Experiment

ONE = Formula("1", "1")


def explain(experiment: Experiment, *, rule_name: str = "", latex: bool = False) -> str:
    """The algorithm for this experiment: the steps, sigma and sigma' a layer, delta^L.

    Says what the book's two exercises ask: for linear neurons that sigma' = 1 drops out of BP2,
    for a modified neuron which entry of sigma'(z) changes. The formulas are those of the program,
    and regular enough to be evaluated: what is indented is an equation, or several with two spaces
    between them. `rule_name` is what the configuration calls the learning rule.
    """
    return "\n".join((as_latex if latex else as_text)(items(experiment, rule_name)))


def items(experiment: Experiment, rule_name: str = "", data: str = "") -> list[Item]:
    """What `explain` says, item by item.

    `data` is what the data set is called; unset, it is described with all its fields.
    """
    return [
        *_experiment(experiment, data or described(experiment.data)),
        *_algorithm(experiment, rule_name),
        *_layers(experiment),
    ]


def _experiment(experiment: Experiment, data: str) -> Iterator[Item]:
    sizes, training = experiment.network.sizes, experiment.training
    yield Heading(f"Network {'-'.join(map(str, sizes))}")
    yield Prose(f"Layer 1 is the input, layer {len(sizes)} the output. Data: {data}.")
    m = training.batch_size
    batches = "full batches" if m is None else f"mini-batches of m = {m} examples"
    if training.sampling == POISSON:
        batches = f"Poisson samples of m = {'n' if m is None else m} examples on average"
    yield Prose(f"{training.epochs} epochs, {batches}, {training.dtype}.")
    stopping = experiment.stopping
    if stopping.formula is None or stopping.formula.text != "never":
        yield Prose(f"Training stops earlier by the rule {described(stopping)}:")
        yield from equation("stop {}", stopping.formula, stopping)
    start = described(experiment.initialiser)
    verb = "has" if isinstance(experiment.initialiser, InitialCondition) else "draws"
    yield Prose(f"Weights and biases start as {start} {verb} them:")
    yield from equation("{}", experiment.initialiser.formula, experiment.initialiser)
    cost = experiment.cost.cost_function
    yield Prose(f"Cost of one example with target y: {described(cost)}.")
    yield from equation("C = {}", cost.formula, cost)
    if experiment.regulariser.formula != Formula("0", "0"):
        yield Prose(
            f"Penalty, added as R/n for n training examples: {described(experiment.regulariser)}."
        )
        yield from equation("R = {}", experiment.regulariser.formula, experiment.regulariser)


def _algorithm(experiment: Experiment, rule_name: str) -> Iterator[Item]:
    layers = experiment.network.layers
    depth = len(layers) + 1
    yield Heading("One step, for a mini-batch of examples x")
    yield Prose("1. Input.")
    yield Equation(Formula("a^1 = x", "a^1 = x"))
    yield Prose("2. Forward, layer by layer.")
    for number in range(2, depth + 1):
        yield from of_layers.forward(experiment, number)
    yield Prose("3. Output error.")
    yield from _output_error(experiment, depth)
    rule = experiment.learning_rule
    yield from of_rules.introduced(experiment, rule_name)
    for number in range(depth - 1, 1, -1) if not replaces(rule, "assign") else ():
        yield from _backward(experiment, number, layers[number - 2])
        yield from of_rules.defined(experiment, number)
    if depth == 2:
        yield Prose("There is no hidden layer to go back to.")
    yield from of_layers.mean_gradient(experiment)
    yield from _aggregation(experiment)
    g = "that" if depth > 2 and not rule.is_gradient else "that gradient"
    yield Prose(f"6. Step with g, {g} and the penalty's: {described(experiment.optimiser)}.")
    yield from _optimiser(experiment.optimiser)
    if not experiment.schedule.is_constant:
        yield Prose(
            f"At every step eta is multiplied by a factor: {described(experiment.schedule)}."
        )
        yield from equation("factor = {}", experiment.schedule.formula, experiment.schedule)


def _aggregation(experiment: Experiment) -> Iterator[Item]:
    aggregation = experiment.aggregation
    plain = (getattr(Aggregation, name) for name in ("weights", "gradient"))
    own = (getattr(type(aggregation), name) for name in ("weights", "gradient"))
    if tuple(plain) == tuple(own):
        return
    yield Prose(
        f"In place of the mean, with g_x the gradient of one example: {described(aggregation)}."
    )
    yield from equation("{}", aggregation.formula, aggregation)


def _optimiser(optimiser: Optimiser) -> Iterator[Item]:
    """Its formula, and those of the optimisers in it."""
    yield from equation("{}", optimiser.formula, optimiser)
    for _, inner in hyperparameters(optimiser):
        if isinstance(inner, Optimiser):
            yield Prose(f"The optimiser in it: {described(inner)}.")
            yield from _optimiser(inner)


def _output_error(experiment: Experiment, depth: int) -> Iterator[Item]:
    pair, activation = experiment.cost, experiment.network.layers[-1].activation
    if activation.prime_formula == ONE:
        general = Formula(
            f"delta^{depth} = grad_a C,  because sigma_{depth}'(z) = 1",
            rf"\delta^{{{depth}}} = \nabla_a C,\quad \sigma_{{{depth}}}'(z) = 1",
        )
    elif isinstance(activation, ElementwiseActivation):
        general = Formula(
            f"delta^{depth} = grad_a C * sigma_{depth}'(z^{depth})",
            rf"\delta^{{{depth}}} = \nabla_a C \odot \sigma_{{{depth}}}'(z^{{{depth}}})",
        )
    else:
        general = _through_jacobian(depth, Formula("grad_a C", r"\nabla_a C"))
    yield Equation(general, "BP1")
    prime = pair.cost_function.prime_formula
    if prime is None:
        yield Prose("The plugin gives no formula for grad_a C; it is the gradient of C.")
    else:
        yield from equation("grad_a C = {}", prime, pair.cost_function)
    if hint := better_cost(experiment):
        yield Prose(f"{hint}.")
    if isinstance(pair, Unpaired):
        return
    sums = ", where the targets sum to 1" if pair.cost_function.needs_distribution else ""
    yield Prose(f"For this cost and output the two factors simplify{sums} ({described(pair)}):")
    simple = pair.delta_formula
    if simple:
        simple = Formula(*(part.replace("^L", f"^{depth}") for part in simple))
    yield from equation(f"delta^{depth} = {{}}", simple, pair, "BP1")


def _backward(experiment: Experiment, number: int, layer: Layer) -> Iterator[Item]:
    carried = of_rules.carried(experiment, number)
    if layer.activation.prime_formula == ONE:
        yield Equation(
            Formula(f"delta^{number} = {carried.text}", rf"\delta^{{{number}}} = {carried.latex}"),
            "BP2",
        )
        yield Prose(f"Layer {number} is linear: sigma' = 1, so the factor sigma'(z) drops out.")
        return
    if not isinstance(layer.activation, ElementwiseActivation):
        yield Equation(_through_jacobian(number, carried), "BP2")
        yield Prose(
            f"The neurons of layer {number} are coupled: the Jacobian J_{number} = da/dz of "
            f"sigma_{number} at z^{number} stands for sigma'(z)."
        )
        return
    yield Equation(
        Formula(
            f"delta^{number} = ({carried.text}) * sigma_{number}'(z^{number})",
            rf"\delta^{{{number}}} = \left({carried.latex}\right) \odot "
            rf"\sigma_{{{number}}}'(z^{{{number}}})",
        ),
        "BP2",
    )


def _through_jacobian(number: int, error: Formula) -> Formula:
    text = error.text if error.text.startswith("grad_a") else f"({error.text})"
    return Formula(
        f"delta^{number} = J_{number}^T {text}",
        rf"\delta^{{{number}}} = J_{{{number}}}^T {error.latex},\quad "
        rf"J_{{{number}}} = \partial \sigma_{{{number}}} / \partial z^{{{number}}}",
    )


def _layers(experiment: Experiment) -> Iterator[Item]:
    layers, sizes = experiment.network.layers, experiment.network.sizes
    groups = [
        group
        for layer in layers
        if isinstance(layer.activation, PerNeuronActivation)
        for group in layer.activation.modified
    ]
    names = {id(group): f"f_{place}" for place, group in enumerate(groups, start=1)}
    if len(groups) == 1:
        names = {id(groups[0]): "f"}
    yield Heading("The activations")
    for number, layer in enumerate(layers, start=2):
        activation = layer.activation
        modified: tuple[ModifiedNeurons, ...] = ()
        if isinstance(activation, PerNeuronActivation):
            activation, modified = activation.base, activation.modified
        yield Prose(f"Layer {number}, {sizes[number - 1]} neurons: {described(activation)}.")
        yield from _functions(activation, f"sigma_{number}", rf"\sigma_{{{number}}}")
        for group in modified:
            if len(experiment.network.shapes[number - 1]) > 1:
                yield Prose("A neuron of this layer is one of its maps, at all places.")
            yield from _modified(group, number, names[id(group)])
        if modified:
            yield Prose("Nothing else in the four equations changes.")
    if all(isinstance(each, Dense) and each.activation.prime_formula == ONE for each in layers):
        yield from _affine_map(len(layers) + 1, is_gradient=experiment.learning_rule.is_gradient)


def _functions(activation: Activation, text: str, latex: str) -> Iterator[Item]:
    head, head_latex = f"{text}(z) = {{}}", f"{latex}(z) = {{}}"
    yield from equation(head, activation.formula, activation, latex=head_latex)
    if not isinstance(activation, ElementwiseActivation):
        yield Prose(f"The Jacobian J of {text}, by what J^T does to any vector v:")
        yield from equation("{}", activation.prime_formula, activation)
        return
    if activation.prime_formula is None:
        yield Prose(f"The plugin gives no formula for {text}'; it is the derivative of {text}.")
        return
    name, name_latex = f"{text}'(z) = {{}}", f"{latex}'(z) = {{}}"
    yield from equation(name, activation.prime_formula, activation, latex=name_latex)


def _modified(group: ModifiedNeurons, number: int, f: str) -> Iterator[Item]:
    several = len(group.neurons) > 1
    listed = ", ".join(map(str, group.neurons))
    yield Prose(
        f"Modified neuron{'s' * several} of layer {number}: {listed} use{'s' * (not several)} "
        f"{f} = {described(group.activation)}."
    )
    yield from _functions(group.activation, f, f)
    for j in group.neurons:
        yield Equation(
            Formula(
                f"a^{number}_{j} = {f}(z^{number}_{j}),  "
                f"entry {j} of sigma_{number}'(z^{number}) is {f}'(z^{number}_{j})",
                rf"a^{{{number}}}_{{{j}}} = {f}(z^{{{number}}}_{{{j}}}),\quad "
                rf"\left[\sigma_{{{number}}}'(z^{{{number}}})\right]_{{{j}}} = "
                rf"{f}'(z^{{{number}}}_{{{j}}})",
            )
        )


def _affine_map(depth: int, *, is_gradient: bool) -> Iterator[Item]:
    product = _product(depth, 2)
    yield Prose("All neurons are linear, so the network is one affine map of its input:")
    yield Equation(
        Formula(
            f"a^{depth} = W x + c,  W = {product.text}",
            f"a^{{{depth}}} = W x + c,\\quad W = {product.latex}",
        )
    )
    if depth == 2 or not is_gradient:
        return
    product = _product(depth, 3)
    yield Prose("The error of a hidden layer is a product of transposed weights, of layer 2:")
    yield Equation(
        Formula(
            f"delta^2 = ({product.text})^T delta^{depth}",
            rf"\delta^{{2}} = ({product.latex})^T \delta^{{{depth}}}",
        )
    )


def _product(last: int, first: int) -> Formula:
    """w^last ... w^first."""
    numbers: list[int | None] = list(range(last, first - 1, -1))
    if len(numbers) > 5:
        numbers[2:-1] = [None]
    return Formula(
        " ".join("..." if number is None else f"w^{number}" for number in numbers),
        " ".join(r"\cdots" if number is None else f"w^{{{number}}}" for number in numbers),
    )

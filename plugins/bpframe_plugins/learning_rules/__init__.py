"""Learning rules: how each layer gets the error that BP3 and BP4 multiply."""

from __future__ import annotations

from bpframe import LearningRule, hookimpl
from bpframe_plugins.learning_rules.backprop import Backprop
from bpframe_plugins.learning_rules.equilibrium import (
    EquilibriumPropagation,
    GaussianEquilibriumPropagation,
)
from bpframe_plugins.learning_rules.feedback import (
    BatchwiseRandomSign,
    DirectFeedbackAlignment,
    DirectRandomTargets,
    FeedbackAlignment,
    FixedRandomSign,
    SignSymmetry,
)
from bpframe_plugins.learning_rules.forward_forward import ForwardForward
from bpframe_plugins.learning_rules.learned_feedback import KolenPollack, WeightMirror
from bpframe_plugins.learning_rules.local import LocalLoss
from bpframe_plugins.learning_rules.predictive_coding import PredictiveCoding
from bpframe_plugins.learning_rules.target_propagation import DifferenceTargetPropagation

BPFRAME_API_VERSION = 2


@hookimpl
def bpframe_learning_rules() -> dict[str, type[LearningRule]]:
    """The learning rules by name."""
    return {
        "backprop": Backprop,
        "feedback_alignment": FeedbackAlignment,
        "sign_symmetry": SignSymmetry,
        "batchwise_random_sign": BatchwiseRandomSign,
        "fixed_random_sign": FixedRandomSign,
        "direct_feedback_alignment": DirectFeedbackAlignment,
        "direct_random_targets": DirectRandomTargets,
        "kolen_pollack": KolenPollack,
        "weight_mirror": WeightMirror,
        "difference_target_propagation": DifferenceTargetPropagation,
        "predictive_coding": PredictiveCoding,
        "equilibrium_propagation": EquilibriumPropagation,
        "gaussian_equilibrium": GaussianEquilibriumPropagation,
        "local_loss": LocalLoss,
        "forward_forward": ForwardForward,
    }

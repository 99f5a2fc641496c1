"""What components need besides their own name, for tests that try all of them."""

NEEDS = {
    "equilibrium_propagation": ("cost=quadratic",),
    "forward_forward": ("network.activation=relu",),
    "difference_target_propagation": ("network.hidden=[9,9]",),
}

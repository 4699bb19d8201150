"""One file for each contender; read `torch.py`, then `jax.py`.

A peer takes part in every suite for which its file has the function:

    make_step(net) -> step()                        one training step from the start weights, returns the loss
    make_training(net) -> Training(step, predict)   the same with data passed in, NumPy arrays in and out
    make_loss(net) -> (forward(), both())           the loss alone; the loss with its gradients
    make_update(method, tensors) -> update()        an optimiser's update of small tensors, eagerly
    make_gradient(function, x) -> gradient()        of `function(x, library)`, a scalar, computed eagerly

A peer that compiles keeps what it has compiled for a net: calling its makers again starts anew from the start weights,
and nothing is compiled twice.
"""

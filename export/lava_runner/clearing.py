"""Makes samples independent in networks whose synapses remember: recurrent ones, and those with delays.

Lava's `LIFReset` clears `u` and `v`, but not what waits in the buffers of the synapses: the spikes of a sample's last
steps would reach the next sample. So one empty timestep is put behind every sample (period P = T + 1), and Lava's own
`io.reset.Reset` clears the buffers around it. Let layer i work on local step n at t = k P + n + i + lead.

- Forward synapses hold at the end of step T what arrives in the empty step and later, all of it of the old sample,
  since the layer before is just in its own empty step. They are cleared there, at t = i + lead - 1 (mod P).
- Recurrent synapses are cleared at the end of the empty step, at t = i + lead (mod P), so that nothing of it, in which
  neurons with a bias may fire, is heard in the next sample.
"""

from __future__ import annotations


def clear(layer, *, period: int, first_step: int) -> None:
    """Have the buffers of a layer's synapses cleared. first_step: Lava's time step of local step 1 of sample 0."""
    from lava.proc.io.reset import Reset

    # Reset acts at the end of the steps t with (t - 1) % interval == offset.
    for name, offset in (("synapse", first_step - 3), ("synapse_rec", first_step - 2)):
        synapse = getattr(layer, name, None)
        buffer = getattr(synapse, "a_buff", None)  # a convolution has a_buf, which holds one step and needs no clearing
        if buffer is not None:
            reset = Reset(interval=period, offset=offset)
            reset.connect_var(buffer)

"""The transition against torch's own post-norm transformer layer."""

import torch
from torch import nn

from ocvp.models.transition import Transition


def test_equals_torch_post_norm_layer_without_biases():
    torch.manual_seed(0)
    transition = Transition(slot_dim=8, num_heads=4, mlp_dim=12).double()
    layer = nn.TransformerEncoderLayer(
        8, 4, 12, dropout=0.0, layer_norm_eps=1e-6, batch_first=True
    ).double()
    with torch.no_grad():
        for parameter in transition.parameters():
            parameter.copy_(torch.randn_like(parameter))
        layer.self_attn.in_proj_weight.copy_(
            torch.cat([transition.query.weight, transition.key.weight, transition.value.weight])
        )
        layer.self_attn.in_proj_bias.zero_()
        layer.self_attn.out_proj.weight.copy_(transition.output.weight)
        layer.self_attn.out_proj.bias.zero_()
    layer.linear1.load_state_dict(transition.mlp[0].state_dict())
    layer.linear2.load_state_dict(transition.mlp[2].state_dict())
    layer.norm1.load_state_dict(transition.norm_attention.state_dict())
    layer.norm2.load_state_dict(transition.norm_mlp.state_dict())
    slots = torch.randn(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(transition(slots), layer(slots))


def test_permuting_slots_permutes_the_output():
    torch.manual_seed(0)
    transition = Transition(slot_dim=8)
    slots, order = torch.randn(2, 4, 8), torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(transition(slots[:, order]), transition(slots)[:, order])

import pytest
import torch
import torch.nn.functional as F

from glm_core import ops


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = ops.Linear(96, 640)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


LAYOUTS = {
    "batch of rows": lambda x: x,
    "one row an item": lambda x: x[:, -1:],
    "every other row": lambda x: x[:, ::2],
    "rows of columns": lambda x: x.mT.contiguous().mT,
    "expanded": lambda x: x[:1].expand(4, -1, -1),
    "a vector": lambda x: x[0, 0],
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("minimum", [0, ops.MIN_MULTIPLICATIONS])
def test_linear_gives_what_torch_gives_in_every_layout(layer, layout, minimum, monkeypatch):
    monkeypatch.setattr(ops, "MIN_MULTIPLICATIONS", minimum)
    monkeypatch.setattr(ops, "HAS_AVX512", True)
    x = LAYOUTS[layout](torch.randn(5, 7, 96))
    wanted = F.linear(x, layer.weight, layer.bias)
    with torch.inference_mode():
        found = layer(x)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_linear_without_bias_in_other_types_and_with_gradients(layer):
    x = torch.randn(32, 96)
    wanted = F.linear(x, layer.weight, layer.bias)
    layer(x).sum().backward()
    assert torch.isfinite(layer.weight.grad).all() and layer.weight.grad.abs().max() > 0
    with torch.inference_mode():
        half = layer.bfloat16()(x.bfloat16())
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), wanted, rtol=0.1, atol=0.5)
        without_bias = ops.Linear(96, 640, bias=False)
        torch.nn.init.normal_(without_bias.weight)
        torch.testing.assert_close(without_bias(x), F.linear(x, without_bias.weight), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("has_avx512, rows, expected", [
    (True, ops.MAX_ROWS_WITHOUT_AVX512, True), (True, ops.MAX_ROWS_WITHOUT_AVX512 + 1, True),
    (False, ops.MAX_ROWS_WITHOUT_AVX512, True), (False, ops.MAX_ROWS_WITHOUT_AVX512 + 1, False)])
def test_onednn_is_used_where_it_is_faster_than_mkl(layer, monkeypatch, has_avx512, rows, expected):
    if not torch.backends.mkl.is_available():
        pytest.skip("this torch has no MKL")
    assert ops.HAS_ONEDNN
    by_mkl = []
    monkeypatch.setattr(ops, "HAS_AVX512", has_avx512)
    monkeypatch.setattr(F, "linear", lambda *given: by_mkl.append(given) or torch.zeros(rows, 640))
    with torch.inference_mode():
        assert layer(torch.randn(rows, 96)).shape == (rows, 640)
    assert bool(by_mkl) != expected

"""A converter of skl2onnx for features, so that its own `to_onnx` takes pipelines of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sktransfer.export.exportable import take_apart
from sktransfer.export.extras import imported
from sktransfer.export.joining import joined
from sktransfer.export.network_graph import network_graph
from sktransfer.export.pixel_graph import pixel_graph
from sktransfer.features.transformer import DeepFeatureTransformer

if TYPE_CHECKING:
    import onnx

__all__ = ["feature_graph", "register_converter"]

_ALIAS = "SkTransferDeepFeatureTransformer"
_FLOAT = 1  # as ONNX numbers its dtypes
_LEAST_OPSET = 18  # with which antialiased resizing came


def register_converter() -> None:
    """Let skl2onnx convert :class:`~sktransfer.DeepFeatureTransformer`, wherever it stands.

    :func:`~sktransfer.export_onnx` needs no registration. This is for a graph that is made by
    ``skl2onnx.to_onnx`` itself, with images as one input among others.

    Raises
    ------
    ImportError
        If a package of the extra ``onnx`` is missing.

    Examples
    --------
    >>> register_converter()  # doctest: +SKIP
    >>> images = ("images", UInt8TensorType([None, None, None, 3]))  # doctest: +SKIP
    >>> to_onnx(pipeline, initial_types=[images], target_opset=18)  # doctest: +SKIP
    """
    (skl2onnx,) = imported("onnx", "skl2onnx")
    skl2onnx.update_registered_converter(
        DeepFeatureTransformer, _ALIAS, _set_shape, _convert, overwrite=True
    )


def feature_graph(features: DeepFeatureTransformer, opset: int) -> onnx.ModelProto:
    """Write a transformer as a graph from "images" (n, height, width, 3), uint8, to "features"."""
    exportable = take_apart(features)
    size = exportable.preprocessing.crop
    parts = [
        pixel_graph(exportable.preprocessing, opset),
        network_graph(exportable.network, size, "features", opset),
    ]
    return joined(parts, ["pixels/", "network/"])


def _set_shape(operator: Any) -> None:
    (data_types,) = imported("onnx", "skl2onnx.common.data_types")
    n_features = operator.raw_operator._ready()[1].n_features
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = data_types.FloatTensorType([n_rows, n_features])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Put the nodes and weights of the graph into skl2onnx's container, under names of their own."""
    compose, helper = imported("onnx", "onnx.compose", "onnx.helper")
    opset = max(container.target_opset, _LEAST_OPSET)
    prefix = scope.get_unique_operator_name("features") + "/"
    graph = compose.add_prefix(feature_graph(operator.raw_operator, opset), prefix).graph
    _name_omitted_inputs(graph, f"{prefix}omitted")
    container.initializers.extend(graph.initializer)
    names = [f"{prefix}images", f"{prefix}features"]
    ends = [operator.inputs[0].full_name, operator.outputs[0].full_name]
    container.nodes.append(helper.make_node("Identity", [ends[0]], [names[0]]))
    container.nodes.extend(graph.node)
    container.nodes.append(helper.make_node("Identity", [names[1]], [ends[1]]))
    container.node_domain_version_pair_sets.add(("", opset))


def _name_omitted_inputs(graph: onnx.GraphProto, name: str) -> None:
    """Give inputs that are left out an empty tensor, for skl2onnx waits for whoever makes them."""
    (helper,) = imported("onnx", "onnx.helper")
    graph.initializer.append(helper.make_tensor(name, _FLOAT, [0], []))
    for node in graph.node:
        for place, given in enumerate(node.input):
            if not given and node.op_type == "Resize":
                node.input[place] = name

"""Public names in the text of pages, such as `DANNClassifier`, lead to their pages of the reference."""

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import sktransfer

_LINKS = (nodes.reference, addnodes.pending_xref)


class LinkedNames(SphinxTransform):
    """Wraps each literal that is a public name in a reference to it."""

    default_priority = 500

    def apply(self):
        if self.env.docname.startswith("reference"):
            return  # docstrings have references of their own
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()")
            if name in sktransfer.__all__ and not isinstance(literal.parent, _LINKS):
                link = addnodes.pending_xref(
                    "",
                    refdoc=self.env.docname,
                    refdomain="py",
                    reftype="obj",
                    reftarget=f"sktransfer.{name}",
                    refexplicit=True,
                    refwarn=True,
                )
                literal.replace_self(link)
                link += literal


def setup(app):
    app.add_transform(LinkedNames)
    return {"parallel_read_safe": True}

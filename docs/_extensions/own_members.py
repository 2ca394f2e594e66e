"""Keeps what scikit-learn gives to every estimator out of the reference of each."""


def setup(app):
    app.connect("autodoc-skip-member", _skip_what_is_not_ours)
    return {"parallel_read_safe": True}


def _skip_what_is_not_ours(app, what, name, member, skip, options):
    function = getattr(member, "fget", member)  # of a property
    module = getattr(function, "__module__", None)
    if module is not None and not module.startswith("sktransfer"):
        return True
    return None  # autodoc decides

"""The order of the gallery: what a newcomer asks first comes first; what is not named here comes last."""

QUESTIONS = [
    "which_strategy",
    "what_to_do",
    "which_network",
    "which_layer",
    "max_or_average",
    "several_layers",
    "more_images",
    "which_mistakes",
    "where_does_it_look",
    "do_classes_separate",
    "duplicates",
    "wrong_labels",
    "broken_files",
    "fine_tuning",
    "how_much_of_it",
    "images_and_table",
    "where_are_the_cars",
    "is_scribbling_enough",
    "how_different",
    "other_camera",
    "few_labels",
    "small_network",
    "similar_images",
    "sort_without_labels",
    "without_torch",
]


class ByQuestion:
    """Sort key of sphinx-gallery."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, file):
        name = file.removeprefix("plot_").removesuffix(".py")
        return (QUESTIONS.index(name) if name in QUESTIONS else len(QUESTIONS), name)

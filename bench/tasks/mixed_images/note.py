"""What error lines and reports say of mixed images."""

from bench.run.notes import Metric, TaskNote

NOTE = TaskNote(
    "mixes the images of a minibatch",
    "is a set of images whose mixes are looked at",
    {
        "weight": Metric("weight of the label of the image itself"),
        "off_segment": Metric("distance of a mixed image from the point of the segment with its label's weight"),
        "interpolations": Metric("images a pair that the network sees"),
        "pair": Metric("pair"),
        "place": Metric("place in the pair's row: 0 the image, then its mixes, last its partner"),
        "label": Metric("class of an image, weights of a mix"),
        "thumbnail": Metric("small image, PNG as base64"),
    },
    ("epochs",),
    container="bench.tasks.classification.images.LabelledImages",
)

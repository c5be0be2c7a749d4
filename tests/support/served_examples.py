"""Examples for the models that tests serve, by task, as a program gives them."""

EXAMPLES = {
    "xnli": [("the man reads", "man"), ("the red book", "train"), ("woman", "the station")],
    "pos": [["the", "man", "reads"], ["red", "book"], ["der", "Mann", "liest", "draußen"]],
    "xcopa": [("the man walks", "cause", "the train", "the red book")],
    "xquad": [("the woman reads a red book outside", "who reads")],
}

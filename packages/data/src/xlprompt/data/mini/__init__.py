"""The mini benchmark: a closed world, said in the study's 20 languages.

Read it in this order: `world` (what there is), `meaning` (what is said, and what follows from it), `sample`
and `items` (which meanings make up the tasks), `lexicon`, `fillers` and `realize` (how a language says them),
`invented` and `tagged` (sentences to tag with words that nobody has met), `sources.mini` (the benchmark) and
`corpus` (the text that a model of this world is pretrained on).
"""

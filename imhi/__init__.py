"""The shared language of MentalLLaMA: what is asked of a post, and what can be answered.

`imhi.tasks` holds the tasks, questions and labels of the IMHI benchmark as frozen data. A post
and a question become a query in `imhi.wording`; a label and an explanation become an answer there
too. What a model wrote goes back to a label and an explanation through `imhi.parsing`. Training,
evaluation and serving all use these three modules, so that a model is asked the same way
everywhere. Only the standard library is imported here.
"""

"""The judge: reads what the store and the cluster recorded, and says what must never have happened.

It knows the records' glossary (``controller.core.model``) and nothing else of the program: not its
table, not its plans, not its views. The simulator and real runs are judged by the same rules.
"""

"""midspec: Model Spec Midtraining, from a spec to a report.

The flow follows the folders: ``spec`` -> ``corpus`` and ``chats`` -> ``curate`` -> ``train`` ->
``evals`` -> ``report``; ``experiment`` runs it. See DESIGN.md.
"""

__version__ = "0.1.0"

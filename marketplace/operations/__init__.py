"""What people need to run the shop: the admin site with its dashboard, the auditor, health and metrics.

    admin       what is there, and why it is where it is; read-only wherever hands would break what sagas promise
    selectors   the measures, shared by the dashboard, health and metrics, so that they never tell different stories
    auditor     proof that no unit was oversold and no money is held without an order
    health      whether this process can serve, part by part
    metrics     the measures for Prometheus

It sits above all apps. So it alone may show their rows as they are: the admin registers their models, and the auditor
reads their tables side by side, in one snapshot. It writes to none of them, except through their services.
"""

from django.db import migrations, models

from proxy.tables.indexes import AddIndexAside


class Migration(migrations.Migration):
    """By which connections are found by why they ended. Apart from the column, so that it can be run again."""

    atomic = False
    dependencies = [("proxy", "0016_revocations")]

    operations = [
        AddIndexAside(
            model_name="connection",
            index=models.Index(
                fields=["cause", "-closed_at"],
                name="connection_closed_cause",
                condition=models.Q(closed_at__isnull=False),
            ),
        ),
    ]

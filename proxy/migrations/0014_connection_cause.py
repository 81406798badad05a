from django.db import migrations, models

from proxy.tables.indexes import AddIndexAside


class Migration(migrations.Migration):
    """Why a connection ended, by which closed ones are found without looking through all of them."""

    atomic = False
    dependencies = [("proxy", "0013_outgoing_events")]

    operations = [
        migrations.AddField(
            "connection",
            "cause",
            models.CharField(max_length=32, blank=True, default="", db_default=""),
        ),
        AddIndexAside(
            model_name="connection",
            index=models.Index(
                fields=["cause", "-closed_at"],
                name="connection_closed_cause",
                condition=models.Q(closed_at__isnull=False),
            ),
        ),
    ]

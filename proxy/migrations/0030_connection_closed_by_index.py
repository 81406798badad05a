from django.db import migrations, models

from proxy.tables.indexes import AddIndexAside


class Migration(migrations.Migration):
    """By which connections are found by who closed them."""

    atomic = False
    dependencies = [("proxy", "0029_deeds_of_programs")]

    operations = [
        AddIndexAside(
            model_name="connection",
            index=models.Index(
                fields=["closed_by", "-closed_at"],
                name="connection_closed_closed_by",
                condition=models.Q(closed_at__isnull=False),
            ),
        ),
    ]

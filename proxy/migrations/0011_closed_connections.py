from django.db import migrations, models

from proxy.tables.indexes import AddIndexAside


class Migration(migrations.Migration):
    """Closed connections of one topic, route or node are found without looking through all of them."""

    atomic = False
    dependencies = [("proxy", "0010_api_keys")]

    operations = [
        AddIndexAside(
            model_name="connection",
            index=models.Index(
                fields=[field, "-closed_at"],
                name=f"connection_closed_{field}",
                condition=models.Q(closed_at__isnull=False),
            ),
        )
        for field in ("topic", "route", "node")
    ]

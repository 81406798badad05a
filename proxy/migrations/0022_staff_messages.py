from django.db import migrations, models

from proxy.tables.staff_groups import give_permission


class Migration(migrations.Migration):
    """Two permissions: what staff say to those who are connected."""

    dependencies = [("proxy", "0021_deeds")]

    operations = [
        migrations.AlterModelOptions(
            name="connection",
            options={
                "ordering": [
                    models.OrderBy(models.F("closed_at"), descending=True, nulls_first=True),
                    "-opened_at",
                    "id",
                ],
                "permissions": [
                    ("kick_connection", "Can kick connections"),
                    ("message_connection", "Can send messages to connections"),
                    ("broadcast_connection", "Can send messages to everyone"),
                ],
            },
        ),
        give_permission(
            "proxy.message_connection", to=["Support", "Operators"], who_have="proxy.kick_connection"
        ),
        give_permission(
            "proxy.broadcast_connection", to=["Operators"], who_have="proxy.drain_poolmember"
        ),
    ]

from django.db import migrations, models

from proxy.tables.staff_groups import give_permission


class Migration(migrations.Migration):
    """Nodes that staff drain: null for all that there are, and for a node of the release before, which is told
    by a message alone."""

    dependencies = [("proxy", "0022_staff_messages")]

    operations = [
        migrations.AlterModelOptions(
            name="node",
            options={"ordering": ["-started_at"], "permissions": [("drain_node", "Can drain nodes")]},
        ),
        migrations.AddField(
            model_name="node",
            name="told_to_drain_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        give_permission("proxy.drain_node", to=["Operators"], who_have="proxy.drain_poolmember"),
    ]

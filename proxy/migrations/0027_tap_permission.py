import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import proxy.models.people
from proxy.tables.staff_groups import give_permission


class Migration(migrations.Migration):
    """A permission to look at what goes over one link, and who does."""

    dependencies = [
        ("proxy", "0026_connection_user_and_email"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

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
                    ("tap_connection", "Can look at what goes over connections"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tap",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=proxy.models.people.new_id,
                        editable=False,
                        max_length=32,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("until", models.DateTimeField()),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="taps",
                        to="proxy.connection",
                    ),
                ),
            ],
            options={
                "ordering": ["-until"],
                "default_permissions": (),
                "indexes": [models.Index(fields=["connection", "until"], name="tap_connection")],
            },
        ),
        give_permission("proxy.tap_connection", to=["Operators"], who_have="proxy.drain_poolmember"),
    ]

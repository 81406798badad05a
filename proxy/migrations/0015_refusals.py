import django.db.models.deletion
from django.db import migrations, models


def found_by(field, *, operators="varchar_pattern_ops"):
    opclasses = [operators, "timestamptz_ops"] if operators else []
    return models.Index(fields=[field, "-refused_at"], name=f"refusal_{field}", opclasses=opclasses)


class Migration(migrations.Migration):
    """Handshakes that were refused, in a table of their own."""

    dependencies = [("proxy", "0014_connection_cause")]

    operations = [
        migrations.CreateModel(
            name="Refusal",
            fields=[
                (
                    "id",
                    models.CharField(
                        editable=False, max_length=32, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("refused_at", models.DateTimeField(verbose_name="when")),
                ("times", models.PositiveIntegerField(default=1)),
                ("cause", models.CharField(max_length=64)),
                ("reason", models.CharField(blank=True, max_length=255)),
                ("status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("close_code", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("route", models.CharField(max_length=64)),
                ("path", models.CharField(blank=True, max_length=255)),
                ("upstream", models.CharField(blank=True, max_length=255, verbose_name="upstream member")),
                ("user_id", models.CharField(blank=True, max_length=255, verbose_name="user")),
                ("email", models.CharField(blank=True, max_length=254)),
                (
                    "client_address",
                    models.GenericIPAddressField(blank=True, null=True, verbose_name="address"),
                ),
                ("user_agent", models.CharField(blank=True, max_length=255)),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request ID")),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="proxy.node",
                    ),
                ),
            ],
            options={
                "ordering": ["-refused_at", "id"],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["-refused_at", "id"], name="refusal_listing"),
                    found_by("user_id"),
                    found_by("email"),
                    found_by("cause", operators=None),
                    found_by("route", operators=None),
                    found_by("client_address", operators=None),
                    found_by("request_id", operators=None),
                ],
            },
        ),
    ]

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """What API keys, tokens and shells did, for the audit."""

    dependencies = [("proxy", "0028_rights_of_staff")]

    operations = [
        migrations.CreateModel(
            name="ProgramDeed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("who", models.CharField(max_length=128)),
                ("kind", models.CharField(max_length=128)),
                ("object_id", models.CharField(blank=True, max_length=255)),
                ("about", models.CharField(blank=True, max_length=200)),
                ("flag", models.PositiveSmallIntegerField(default=2)),
                ("said", models.TextField(blank=True)),
                ("count", models.PositiveIntegerField(null=True)),
                ("reason", models.CharField(blank=True, max_length=255)),
                ("found_by", models.CharField(blank=True, max_length=255)),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
                "indexes": [models.Index(fields=["at"], name="program_deed_at")],
            },
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    """Why a connection ended."""

    dependencies = [("proxy", "0013_outgoing_events")]

    operations = [
        migrations.AddField(
            "connection",
            "cause",
            models.CharField(max_length=32, blank=True, default="", db_default=""),
        ),
    ]

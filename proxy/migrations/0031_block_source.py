from django.db import migrations, models


class Migration(migrations.Migration):
    """Who placed a block, by name: programs and shells have no other."""

    dependencies = [("proxy", "0030_connection_closed_by_index")]

    operations = [
        migrations.AddField(
            model_name="block",
            name="source",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=128),
        ),
    ]

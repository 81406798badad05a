from django.db import migrations, models


class Migration(migrations.Migration):
    """Names the field anew, and leaves its column: nodes of two releases write it while they are replaced."""

    dependencies = [("proxy", "0001_squashed_0005_kicks")]

    operations = [
        migrations.AlterField(
            model_name="connection",
            name="experience",
            field=models.CharField(blank=True, db_column="experience", max_length=128),
        ),
        migrations.RenameField(model_name="connection", old_name="experience", new_name="topic"),
    ]

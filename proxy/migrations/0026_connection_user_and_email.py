from django.db import migrations, models


class Migration(migrations.Migration):
    """The indexes of the user and of the e-mail address alone go: those with a time do for both."""

    dependencies = [("proxy", "0025_connections_of_a_user")]

    operations = [
        migrations.AlterField(
            model_name="connection",
            name="user_id",
            field=models.CharField("user", max_length=255, blank=True),
        ),
        migrations.AlterField(
            model_name="connection",
            name="email",
            field=models.CharField(max_length=254, blank=True),
        ),
    ]

from django.db import migrations, models

from proxy.tables.indexes import AddIndexAside


class Migration(migrations.Migration):
    """A user's connections are found in the order of time, and any by its request id."""

    atomic = False
    dependencies = [("proxy", "0024_people")]

    operations = [
        *(
            AddIndexAside(
                model_name="connection",
                index=models.Index(
                    fields=[field, "-opened_at"],
                    name=f"connection_{name}_opened",
                    opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                ),
            )
            for field, name in (("user_id", "user"), ("email", "email"))
        ),
        AddIndexAside(
            model_name="connection",
            index=models.Index(fields=["user_id", "-closed_at"], name="connection_user_closed"),
        ),
        AddIndexAside(
            model_name="connection",
            index=models.Index(fields=["request_id"], name="connection_request_id"),
        ),
    ]
